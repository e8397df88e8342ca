"""The models that can be trained: networks, trees, linear models, and estimators of scikit-learn."""
