"""Turn a fitted object into a stored one."""

import pickle

from model_deployer.adoption.source.pickle_file import read_pickle
from model_deployer.adoption.stored_object import StoredObject


def stored(fitted: object) -> StoredObject:
    """Return a fitted object as it is read from its pickle."""
    value = read_pickle(pickle.dumps(fitted))
    assert isinstance(value, StoredObject)
    return value
