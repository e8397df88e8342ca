"""Serving: from a request to a prediction. `serving.predictor` is the path of one request, from top to bottom."""
