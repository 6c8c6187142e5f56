# docker build -t impasto .
# docker run -p 8077:8077 -v impasto:/data impasto
# See docs/guides/docker.md.

FROM python:3.13-slim AS build

# An index with another build of PyTorch, such as https://download.pytorch.org/whl/cu130 for NVIDIA cards.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

# The compiler of the kernels.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
WORKDIR /source
COPY constraints.txt ./
RUN python -m venv /opt/impasto \
    && /opt/impasto/bin/pip install --constraint constraints.txt --index-url "$TORCH_INDEX" torch
COPY . .
RUN /opt/impasto/bin/pip install --constraint constraints.txt '.[video,heic]' ./kernels


FROM python:3.13-slim

# Group 0 may write to the volume, so that any user id works: docker run --user 12345:0
RUN useradd --uid 10001 --gid 0 --no-create-home --home-dir /data impasto \
    && install --directory --owner 10001 --group 0 --mode 0770 /data

COPY --from=build /opt/impasto /opt/impasto
COPY docker/entrypoint.sh docker/health.py /opt/impasto/

ENV PATH=/opt/impasto/bin:$PATH \
    HOME=/data \
    IMPASTO_CACHE=/data/cache \
    IMPASTO_DATA=/data/queue \
    PYTHONUNBUFFERED=1

USER 10001
WORKDIR /data
VOLUME /data
EXPOSE 8077
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s CMD ["python", "/opt/impasto/health.py"]
ENTRYPOINT ["/opt/impasto/entrypoint.sh"]
CMD ["studio"]
