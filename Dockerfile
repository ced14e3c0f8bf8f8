# Base image for projects with pypz: what an operator needs in its pod, nothing of the deployer or the sniffer.
#
#   docker build -t pypz .
#
# A project's own Dockerfile then says `FROM pypz`, copies the project's wheel and installs it with pip, no root needed.

ARG BASE_IMAGE=python:3.11-slim

FROM ${BASE_IMAGE} AS wheels
WORKDIR /source
COPY core core
COPY plugins plugins
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels ./core ./plugins/avro_codec ./plugins/kafka_io ./plugins/loggers

FROM ${BASE_IMAGE}
COPY constraints.txt /tmp/install/
COPY --from=wheels /wheels /tmp/install/
# User 10001 is who the Kubernetes deployer runs pods as, too.
RUN python -m venv /opt/pypz \
 && /opt/pypz/bin/pip install --no-cache-dir --constraint /tmp/install/constraints.txt /tmp/install/*.whl \
 && rm -r /tmp/install \
 && chown -R 10001:10001 /opt/pypz
ENV PATH=/opt/pypz/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1
USER 10001:10001
