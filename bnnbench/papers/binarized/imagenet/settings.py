"""Parameters of the ImageNet experiment: its net, its views of the photographs, its training."""

from typing import Literal, Self

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from bnnbench.harness.experiment import Params


class ImageNet(Params):
    """Parameters of `binarized/imagenet`."""

    dataset: str = "imagenet"
    net: Literal["alexnet", "larq-alexnet", "googlenet"] = "alexnet"
    weights: Literal["float", "binary", "quantized"] = "binary"
    activation: Literal["relu", "hardtanh", "sign", "quantized"] = "sign"
    weight_bits: PositiveInt = Field(1, description="of quantized weights")
    activation_bits: PositiveInt = Field(1, description="of quantized activations")
    gradient_bits: PositiveInt | None = Field(
        None, ge=2, description="of gradients behind an activation; several processes then draw other noise than one"
    )
    inflation: PositiveFloat = Field(3.0, description="alexnet: factor of the channels of the first four convolutions")
    width: PositiveFloat = Field(1.0, description="alexnet, googlenet: factor of every hidden layer")
    first_stride: PositiveInt = Field(4, description="alexnet: stride of the first convolution; 2 for small images")
    auxiliary: bool = Field(False, description="googlenet: train two auxiliary classifiers along")
    latent_init: Literal["uniform", "glorot"] = Field(
        "uniform", description="how binary weights start; glorot: as real ones"
    )
    scale_learning_rate: bool = Field(True, description="per-layer learning-rate scale for binary weights")
    clip: bool = Field(True, description="clip latent weights to [-1, 1] after each step")
    loss: Literal["cross-entropy", "squared-hinge"] = "cross-entropy"
    resize: PositiveInt = Field(256, description="pixels of the shorter side before cropping")
    crop: PositiveInt = Field(224, description="pixels of the square that the net sees")
    max_images: PositiveInt | None = Field(None, description="use at most this many images of each split")
    epochs: PositiveInt = 50
    schedule: tuple[tuple[NonNegativeFloat, PositiveFloat], ...] = Field(
        ((0, 0.005), (20, 0.001), (30, 0.0005), (35, 0.0001), (40, 0.00001)),
        description="pairs of epoch and learning rate from there on",
    )
    schedule_epochs: PositiveInt = Field(50, description="epochs that the schedule is made for; stretched to `epochs`")
    batch_size: PositiveInt = Field(256, description="of all processes together")
    precision: Literal["float64", "float32", "bfloat16"] = Field(
        "float32", description="of forward and backward passes; bfloat16 on a GPU only, latent weights stay float32"
    )
    decode_workers: NonNegativeInt = Field(12, description="processes that decode for each one that computes")

    def datasets(self) -> tuple[str, ...]:
        """The one data set."""
        return (self.dataset,)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.crop > self.resize:
            raise ValueError(f"crop {self.crop} does not fit into images resized to {self.resize}")
        starts = [start for start, _ in self.schedule]
        if not starts or starts[0] != 0 or starts != sorted(set(starts)):
            raise ValueError("schedule must start at epoch 0 and go upwards")
        return self
