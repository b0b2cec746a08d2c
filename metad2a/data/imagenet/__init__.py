"""ImageNet as it is stored by others, and the tasks made of its classes."""
