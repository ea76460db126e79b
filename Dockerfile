# CPU:   docker build --tag mvgen .
# CUDA:  docker build --tag mvgen:cuda --build-arg TORCH=cu130 .     (see `uv pip install --help`, --torch-backend)
#
# Without a command it builds the demonstration, as a user without rights:
#   docker run --rm --volume mvgen-data:/data mvgen
#   docker run --rm --volume mvgen-data:/data --volume /data/CASME2:/source:ro mvgen \
#       build --dataset casme2 --root /source --angles -45:45:10 --out /data/multi-view
# For CUDA add `--gpus all`. A folder of the host in place of the volume has to be writable for the user 1000.
FROM python:3.12-slim

# Ray casting (open3d), images (OpenCV), off-screen rendering (pyrender).
RUN apt-get update -q \
    && apt-get install -y --no-install-recommends \
        libusb-1.0-0 libgomp1 libgl1 libglib2.0-0 libegl1 libegl-mesa0 libgl1-mesa-dri \
    && rm -rf /var/lib/apt/lists/*

RUN pip install --no-cache-dir uv

# The versions of the lock file; torch's CUDA libraries are taken only where its wheel asks for them.
ARG TORCH=cpu
WORKDIR /opt/mvgen
COPY pyproject.toml uv.lock README.md LICENSE NOTICE ./
RUN uv export --quiet --locked --no-dev --all-extras --no-emit-project --no-hashes --output-file constraints.txt \
    && echo "PyOpenGL>=3.1.9" > overrides.txt
COPY mvgen mvgen
COPY recognizer recognizer
COPY configs configs
RUN uv pip install --system --no-cache --compile-bytecode --torch-backend "$TORCH" \
        --constraints constraints.txt --overrides overrides.txt ".[all]"

RUN useradd --create-home --uid 1000 mvgen && install -d -o mvgen /data
USER mvgen
WORKDIR /data
VOLUME /data
ENTRYPOINT ["mvgen"]
CMD ["build", "--dataset", "demo", "--angles", "-45:45:10", "--out", "/data/demo"]
