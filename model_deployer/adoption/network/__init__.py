"""Networks: graphs that other programs wrote, and the outputs and inputs of an artifact around them."""
