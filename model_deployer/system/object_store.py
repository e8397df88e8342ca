"""Object stores: what their URLs begin with, and the message of an error in one line."""

#: The schemes of URLs whose stores obstore opens, with the credentials of the environment.
SCHEMES = ("s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl")


def first_line(error: Exception) -> str:
    """Return the message of a store in one line, without the page that came with it, at most 300 characters."""
    return (str(error) or type(error).__name__).splitlines()[0].partition("<")[0].strip(" :")[:300]
