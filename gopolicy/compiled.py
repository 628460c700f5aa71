"""How kernels are compiled: ``@compiled(signature)``, numba with a cache that is never stale.

Kernels of one module are inlined into those of another, while numba's cache looks at one module's text only. So the
cache folder is named after the text of *all* modules with kernels: whoever edits or upgrades one of them gets a new
cache. The folder lies in the package's ``__pycache__`` or, where that cannot be written, in the user's cache folder;
where neither can, nothing is cached and every start compiles. ``NUMBA_CACHE_DIR`` overrides the place.
"""

from __future__ import annotations

import copy
import gc
import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from operator import attrgetter
from pathlib import Path
from typing import Any

import numba
from llvmlite import binding, ir
from numba import types
from numba.extending import intrinsic

announced = False


def kernel_digest() -> str:
    """A short digest of the text of every module of this package that has kernels, or whose numbers they hold."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        text = path.read_bytes()
        if b"gopolicy.compiled" in text or path.name in ("compiled.py", "coords.py"):  # numbers of coords stand in the kernels
            digest.update(path.name.encode() + b"\0" + text)
    return digest.hexdigest()[:16]


def cache_folder() -> str | None:
    """The folder for compiled kernels, made if need be; None where none can be written."""
    name = f"gopolicy-kernels-{kernel_digest()}"
    home = os.environ.get("LOCALAPPDATA") or os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    given = os.environ.get("NUMBA_CACHE_DIR")
    beside = os.path.join(os.path.dirname(__file__), "__pycache__")
    for parent in [given] if given else [beside, home]:
        if parent == home and not os.path.isabs(home):
            continue  # an account without a home folder: "~" would be a folder of that name
        folder = os.path.join(parent, name)
        try:
            if parent == beside and not os.path.isdir(folder):
                for old in Path(parent).glob("gopolicy-kernels-*"):  # of a text that is no longer here
                    shutil.rmtree(old, ignore_errors=True)
            os.makedirs(folder, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            continue
        return folder
    return None


CACHE_FOLDER = cache_folder()


def compiled(
    signature: Any, *, inner: bool = False, inline: bool = False, apart: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """``numba.njit(signature, nogil=True)``, cached. Compiles, or loads from the cache, at once.

    The types of a kernel are those of ``signature``; what its annotations say is for the reader. An ``inner`` kernel is called
    by kernels only, never from Python, which saves compiling the way in; ``inline`` makes it part of whatever calls it, while one
    that is ``apart`` is called at its address. Of all others every caller gets a copy, which LLVM optimises and compiles once
    more: right for a few lines, and a third of the time of compiling for what is long. Division by zero is not looked for.

    Says on standard error, once a process, that it is compiling when the cache does not have the kernel.
    """
    options: dict[str, Any] = {
        "nogil": True,
        "error_model": "numpy",
        "forceinline": inline,
        "no_cfunc_wrapper": True,
        "no_cpython_wrapper": inner,
    }

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        global CACHE_FOLDER
        # Settings are read when a function is decorated; nobody else's functions are touched. Compiling makes millions of small
        # objects and few cycles: looking for those is a tenth of the time.
        config: Any = numba.config
        before, collecting = (config.CACHE_DIR, config.DISABLE_JIT), gc.isenabled()
        config.CACHE_DIR, config.DISABLE_JIT = CACHE_FOLDER or config.CACHE_DIR, False
        gc.disable()
        try:
            try:
                kernel: Any = numba.njit(signature, cache=CACHE_FOLDER is not None, **options)(function)
            except Exception as error:  # a damaged file can raise anything
                if CACHE_FOLDER is None:
                    raise
                if isinstance(error, (OSError, UnicodeError)):  # the disk is full, or there is a quota; a name that the encoding lacks
                    CACHE_FOLDER = None
                else:  # numba does not write its files out: a power cut leaves some of them empty
                    shutil.rmtree(CACHE_FOLDER, ignore_errors=True)
                kernel = numba.njit(signature, **options)(function)
        finally:
            config.CACHE_DIR, config.DISABLE_JIT = before
            if collecting:
                gc.enable()
        if CACHE_FOLDER is None:
            announce("no folder for the compiled code can be written, so every start does this")
        elif kernel.stats.cache_misses:
            announce("once after an installation, each when it is first used")
        if apart:
            set_apart(kernel)
        return kernel  # type: ignore[no-any-return]

    return decorate


def set_apart(kernel: Any) -> None:
    """Lets kernels compiled from now on call this one at its address instead of taking in its code.

    The name it is called by has to be the same in every process, since callers keep it in the cache; numba's own name counts the
    functions compiled before.
    """
    (result,) = kernel.overloads.values()
    code, descriptor = attrgetter("library", "fndesc")(result)
    callee = copy.copy(descriptor)
    callee.mangled_name = f"{kernel.py_func.__module__}.{kernel.py_func.__name__}"
    binding.add_symbol(callee.mangled_name, code.get_pointer_to_function(descriptor.llvm_func_name))
    kernel.targetctx.remove_user_function(result.entry_point)
    kernel.targetctx.insert_user_function(result.entry_point, callee, [])


def announce(when: str) -> None:
    global announced
    if not announced:
        announced = True
        with suppress(OSError):  # nobody reads it, or the disk that it goes to is full
            print(f"gopolicy: compiling rules of Go and feature planes ({when}; about 10 seconds in all) ...", file=sys.stderr, flush=True)


@intrinsic
def _popcount(typingctx: Any, value: Any) -> Any:
    """Number of bits set in a uint64, as an int64."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.uint64), codegen


@intrinsic
def _lowest_bit(typingctx: Any, value: Any) -> Any:
    """Index of the lowest bit set in a uint64 that is not zero, as an int64."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), codegen


popcount: Any = _popcount
lowest_bit: Any = _lowest_bit
