# A plain Debian 12 with Debian's own OTB and the same make targets as outside Docker. From the project's folder:
#   docker build -f docker/debian.Dockerfile -t super-resolution:debian .
FROM debian:12.8

RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
       make git otb-bin libotb-apps libotb-dev otb-qgis python3-gdal gdal-bin \
       python3-venv python3-dev pybind11-dev g++ \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 1000 otbuser
USER otbuser
WORKDIR /home/otbuser/super-resolution
COPY --chown=otbuser . .
RUN make setup
