"""Data sets: found on this machine, fetched from their official addresses, checked and loaded.

Importing this package is quick: numpy and everything heavier is imported when data is read.
"""

from bnnbench.data.catalogue import DATASETS
from bnnbench.data.content import Images, Split, Table
from bnnbench.data.dataset import Dataset, Places, Source
from bnnbench.data.folders import ImageFolder, ImageFolders

__all__ = ["DATASETS", "Dataset", "ImageFolder", "ImageFolders", "Images", "Places", "Source", "Split", "Table"]
