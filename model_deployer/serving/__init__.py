"""A request becomes a prediction; `serving.predictor` is the path of one request, top to bottom."""
