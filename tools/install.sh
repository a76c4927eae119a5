#!/bin/sh
# Usage: install.sh FOLDER [EXTRAS]: make a virtual environment and install this checkout into it.
# What is missing on the machine is installed through apt where that is allowed, and named where it is not.
set -eu

folder=$1
extras=${2:-}
python=${PYTHON:-python3}

fail() {
    echo "error: $1" >&2
    exit 1
}

# need WORDS PACKAGE...: install Debian packages, or say in one line what is missing.
need() {
    what=$1
    shift
    if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
        echo "installing $* for $what"
        (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@") >/dev/null ||
            fail "$what is missing and apt could not install it: $*"
    else
        fail "$what is missing. Install it, on Debian and Ubuntu with: sudo apt-get install $*"
    fi
}

command -v "$python" >/dev/null || need "Python 3.11 or newer" python3 python3-venv
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "Phloem needs Python 3.11 or newer, and $python is $("$python" -V). Name another with: make PYTHON=python3.12"
"$python" -c 'import venv, ensurepip' 2>/dev/null ||
    need "Python's venv module" "python$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv"
command -v c++ >/dev/null || command -v g++ >/dev/null || need "a C++ compiler" g++

# llama-cpp-python comes as source. These switches leave out what Phloem does not use and half the time
# it takes; AVX2 is assumed where the processor has it, so that the built wheel runs on its like.
flags="-DGGML_OPENMP=OFF -DLLAMA_CURL=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF"
flags="$flags -DLLAMA_BUILD_TOOLS=OFF -DLLAMA_BUILD_SERVER=OFF -DMTMD_BUILD=OFF"
if grep -qw avx2 /proc/cpuinfo 2>/dev/null; then
    flags="$flags -DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON -DGGML_BMI2=ON"
fi
CMAKE_ARGS=${CMAKE_ARGS:-$flags}
CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(getconf _NPROCESSORS_ONLN)}
export CMAKE_ARGS CMAKE_BUILD_PARALLEL_LEVEL

[ -x "$folder/bin/python" ] || "$python" -m venv "$folder"
echo "installing phloem${extras:+ with $extras} into $folder (the first time on a machine, llama.cpp is compiled: some minutes)"
"$folder/bin/python" -m pip install -qq --disable-pip-version-check --upgrade "pip>=25"
"$folder/bin/python" -m pip install -qq --constraint constraints.txt --editable ".${extras:+[$extras]}"
# pip compiles what it copies, but not what it installs as it lies: without this every start would.
"$folder/bin/python" -m compileall -q runtime nodes plugins editor >/dev/null || true
touch "$folder/ready"
