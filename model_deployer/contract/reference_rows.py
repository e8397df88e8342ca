"""reference_rows.npz: rows of the table as codes of bins, which show the combinations of values that it has.

No value is in it: a code is the index of a bin in reference.json. Fields that captured traffic has no bins of are left
out, and so are times and images.
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model_deployer.contract.errors import ArtifactError
from model_deployer.contract.reference import Reference

#: The successive days, or the units in their place, that are kept together: they show how far one differs from others.
WEEK_DAYS = 7

#: The size of the file at most, in bytes; compressed it is about half of that.
MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class ReferenceRows:
    """Rows of the table.

    Attributes:
        fields: The names of the fields.
        codes: The index of the bin of each value, uint8 [weeks, 7 days, rows, fields]: the days of a week are
            successive days of the table, and the weeks are spread evenly over it. What a day is says ``spreads.unit``
            of reference.json.
    """

    fields: tuple[str, ...]
    codes: NDArray[np.uint8]

    def write(self, path: Path) -> None:
        """Write the file; equal rows give equal bytes."""
        np.savez_compressed(path, fields=np.array(self.fields), codes=self.codes)

    @classmethod
    def read(cls, path: Path, reference: Reference) -> "ReferenceRows":
        """Read the file.

        Args:
            path: The file.
            reference: The distributions that the codes are of.

        Raises:
            ArtifactError: if it does not fit the model.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                rows = cls(tuple(arrays["fields"].tolist()), arrays["codes"])
            bins = [len(reference.features[name].shares()) for name in rows.fields]
            is_valid = rows.codes.dtype == np.uint8 and rows.codes.shape[1::2] == (WEEK_DAYS, len(bins))
            if is_valid and (rows.codes < np.array(bins)).all():
                return rows
        except (OSError, ValueError, LookupError, zipfile.BadZipFile):
            pass
        raise ArtifactError(f"{path}: the file does not fit the model; restore the model, or train it again")
