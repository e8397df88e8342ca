"""Graph writers of scikit-learn's steps and models, without trees."""
