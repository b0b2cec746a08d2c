"""Set encoder, graph encoder, graph decoder, Generator, Predictor, checkpoints."""
