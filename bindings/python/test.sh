#!/bin/sh
# Tests of the Python package: builds it as a user would, into an environment of its own under target/, then runs the
# tests, the examples, the examples in the documentation, and the check of the types.
#
#   bindings/python/test.sh [arguments for pytest]        PYTHON=python3.13 chooses another interpreter
#   bindings/python/test.sh build                         stops when it is installed
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
python=${PYTHON:-python3}

missing=0
for tool in cargo rustc cc "$python"; do
    command -v "$tool" >/dev/null || { echo "missing: $tool"; missing=1; }
done
if command -v "$python" >/dev/null; then
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
        || { echo "too old: $("$python" --version), 3.11 or newer is needed; name one with PYTHON="; missing=1; }
    "$python" -c 'import venv, ensurepip' 2>/dev/null \
        || { echo "missing: the modules venv and ensurepip (python3-venv on Debian)"; missing=1; }
fi
if [ $missing = 1 ]; then
    echo "get Rust from https://rustup.rs, Python and cc from your system's packages"
    exit 1
fi

# One environment for the interpreter that is there, one more for each that is chosen.
environment=$root/target/python/venv${PYTHON:+-$(basename "$PYTHON")}
export PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1
[ -x "$environment/bin/python" ] || "$python" -m venv "$environment"
bin=$environment/bin
"$bin/pip" install --quiet --force-reinstall --no-deps "$here"
[ "${1:-}" != build ] || exit 0
"$bin/pip" install --quiet 'pytest>=8' 'mypy>=1.11' 'prometheus-client>=0.20'
# The columns are read with these where they can be had; their tests are left out where not.
"$bin/pip" install --quiet --only-binary :all: numpy pyarrow || echo "without numpy and pyarrow"

# From elsewhere, so that what is tested is what was installed.
cd "$environment"
"$bin/python" -X dev -m pytest --rootdir "$here" -c "$here/pyproject.toml" "$here/tests" "$@"
"$bin/python" -m mypy --config-file "$here/pyproject.toml" --cache-dir "$environment/mypy" -p oncelog
"$bin/python" -m mypy --config-file "$here/pyproject.toml" --cache-dir "$environment/mypy" \
    "$here"/examples/*.py "$here"/tests/*.py
"$bin/python" -m mypy.stubtest oncelog
