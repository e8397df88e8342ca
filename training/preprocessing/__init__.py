"""Convert columns to the tensors that models are fitted on."""
