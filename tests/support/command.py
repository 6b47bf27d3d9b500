"""The command `lsr` with the encoder "toy" and small shards.

python -m support.command DOCUMENTS_PER_SHARD ARGUMENT…
"""

import sys

import lsr.data.vectors.shards
from lsr.cli import main
from lsr.encoders.registry import KINDS

if __name__ == "__main__":
    # As the fixtures `toy` and `shards_of`, in a process of its own.
    KINDS["toy"] = "support.toy_encoder"
    lsr.data.vectors.shards.SHARD_DOCUMENTS = int(sys.argv.pop(1))
    main()
