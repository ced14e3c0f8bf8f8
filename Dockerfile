# Base image for projects with pypz: what an operator needs in its pod, nothing of the deployer or the sniffer.
#
#   docker build -t pypz .
#
# A project's own Dockerfile then says `FROM pypz`, copies the project's wheel and installs it with pip, no root needed.
# What changes seldom comes first: a change of pypz's code makes only the last layer anew.

ARG BASE_IMAGE=python:3.11-slim

# What our distributions need of others, as pip takes it: the same text as long as no pyproject.toml changes it.
FROM ${BASE_IMAGE} AS needs
COPY core/pyproject.toml /needs/core/
COPY plugins/avro_codec/pyproject.toml /needs/avro_codec/
COPY plugins/kafka_io/pyproject.toml /needs/kafka_io/
COPY plugins/loggers/pyproject.toml /needs/loggers/
RUN python -c "import glob, tomllib; \
projects = [tomllib.load(open(path, 'rb'))['project'] for path in glob.glob('/needs/*/pyproject.toml')]; \
needed = {need for project in projects for need in project.get('dependencies', []) if not need.startswith('pypz')}; \
print('\n'.join(sorted(needed)), file=open('/needs/requirements.txt', 'w'))"

FROM ${BASE_IMAGE} AS wheels
WORKDIR /source
COPY core core
COPY plugins plugins
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels ./core ./plugins/avro_codec ./plugins/kafka_io ./plugins/loggers

FROM ${BASE_IMAGE}
# User 10001 is who the Kubernetes deployer runs pods as, too.
RUN mkdir -m 755 /opt/pypz && chown 10001:10001 /opt/pypz
USER 10001:10001
ENV PATH=/opt/pypz/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1
COPY --from=needs /needs/requirements.txt /opt/pypz/
COPY constraints.txt /opt/pypz/
RUN python -m venv /opt/pypz \
 && pip install --no-cache-dir --constraint /opt/pypz/constraints.txt --requirement /opt/pypz/requirements.txt
COPY --from=wheels /wheels /opt/pypz/wheels
RUN pip install --no-cache-dir --no-deps /opt/pypz/wheels/*.whl && pip check
