"""What a data set is: images, embedders, features."""
