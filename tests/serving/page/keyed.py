"""A server of the tiny model that requires an API key."""

from tests.support.servers import Profile

KEY = "key-of-a-reader-of-the-page"

KEYED = Profile(variables=(("DEPLOYER_API_KEYS", KEY),))
