"""The figures of the paper; none of its own was available, so they are drawn to show its claims."""
