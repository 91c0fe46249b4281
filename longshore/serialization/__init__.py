"""Values, arguments, failures and messages as bytes, and back. It knows no broker and no store.

Import from the modules: `envelope`, `values`, `arguments`, `digests`, `failures`, `plain`. `codec` registers types.
"""

from longshore.serialization.registry import codec

__all__ = ["codec"]
