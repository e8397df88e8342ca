"""The models that can be trained: networks, trees, linear models and scikit-learn estimators."""
