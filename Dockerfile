# The image that flow runs, and the worker, run in. The classic builder is enough: no BuildKit syntax, no build secrets.
#
#   docker build -t tally .                                               from the official image
#   docker build -t tally --build-arg BASE_IMAGE=tally-base:bookworm .    where no registry answers: deployments/base_image.sh made it
#
# Any Debian-like base with Python 3.11 to 3.13, its venv module and ca-certificates will do. Everything lives in a virtual environment,
# because a distribution's own Python refuses to be installed into.
ARG BASE_IMAGE=python:3.11-slim-bookworm
# Used below as ${BASE_IMAGE:-…}, because prefect.yaml passes an unset variable on as an empty argument.

# ---------------------------------------------------------------------------------------------------------------------------------
# dependencies: the locked ones, in /opt/venv. This stage never sees the sources, so its cache holds until the lock changes.
FROM ${BASE_IMAGE:-python:3.11-slim-bookworm} AS dependencies

# Trust what the base image trusts: pip would bring its own list, which a network with its own authority is not on.
ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_NO_INPUT=1 \
    PIP_ROOT_USER_ACTION=ignore

# pip lives in a venv of its own and installs into the other one from outside: /opt/venv never holds an installer.
RUN python3 -m venv /opt/installer && python3 -m venv --without-pip /opt/venv

COPY requirements.lock /opt/installer/
# Hashes or nothing, wheels or nothing: no compiler is needed, and nothing runs a setup script. The lock is complete, so nothing is left to
# resolve (Debian's pip looks for the newest `sqlalchemy[asyncio]` beside the locked `sqlalchemy`); the check holds it to that.
RUN /opt/installer/bin/pip --python /opt/venv/bin/python install \
        --require-hashes --only-binary :all: --no-deps --no-compile -r /opt/installer/requirements.lock \
    && /opt/installer/bin/pip --python /opt/venv/bin/python check

# What no flow run reads: bundled test suites, C headers and Cython sources, the server's web interface, and the parts of Arrow that talk
# Flight and S3 (the lake is read through boto3 and polars; nothing else links them). The import test at the end holds this list to its word.
# Then byte code, once, for good: nothing in the image is writable for the user who runs it, so each start would compile again.
RUN cd "$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
    && rm -rf pyarrow/include pyarrow/includes pyarrow/src pyarrow/tests \
        pyarrow/libarrow_flight.so* pyarrow/libarrow_python_flight.so* pyarrow/_flight.* pyarrow/flight.py \
        pyarrow/libarrow_s3.so* pyarrow/_s3fs.* \
        prefect/server/ui prefect/server/ui-v2 \
    && find pyarrow -name 'libarrow_python.so*' ! -name 'libarrow_python.so.[0-9]*[0-9]00' -delete \
    && find . -type d \( -name tests -o -name test \) -prune -exec rm -rf {} + \
    && find . -type f \( -name '*.a' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' -o -name '*.pyi' \) -delete \
    && /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash .

# ---------------------------------------------------------------------------------------------------------------------------------
# project: what installing this project adds to /opt/venv (its metadata, and the pointer to its sources), apart, so that a change of the
# sources makes a layer of kilobytes.
FROM dependencies AS project

COPY deployments/build-requirements.lock /opt/installer/
RUN /opt/installer/bin/pip install --require-hashes --only-binary :all: -r /opt/installer/build-requirements.lock

COPY pyproject.toml /opt/tally/
COPY flows /opt/tally/flows
COPY tasks /opt/tally/tasks
COPY deployments /opt/tally/deployments
RUN /opt/installer/bin/pip install --no-deps --no-build-isolation --no-compile --ignore-installed \
        --prefix /opt/project --editable /opt/tally

# ---------------------------------------------------------------------------------------------------------------------------------
# native: the compiled part of the engine. Neither the compiler nor the layers that it takes are in the image.
FROM dependencies AS native

COPY deployments/compiler.lock /opt/installer/
RUN /opt/installer/bin/pip install --require-hashes --only-binary :all: -r /opt/installer/compiler.lock

COPY tasks/engine/native /opt/native
RUN /opt/installer/bin/python /opt/native/build.py

# ---------------------------------------------------------------------------------------------------------------------------------
FROM ${BASE_IMAGE:-python:3.11-slim-bookworm}

# A number, so that Kubernetes' runAsNonRoot can check it; the home folder is the only place that it may write to, besides /tmp.
RUN groupadd --gid 10001 tally && useradd --uid 10001 --gid tally --create-home --shell /usr/sbin/nologin tally

COPY --from=dependencies /opt/venv /opt/venv
COPY --from=project /opt/project/lib /opt/venv/lib
COPY pyproject.toml prefect.yaml /opt/tally/
COPY sql /opt/tally/sql
COPY tasks /opt/tally/tasks
COPY flows /opt/tally/flows
COPY deployments /opt/tally/deployments
COPY --from=native /opt/native/native.so /opt/tally/tasks/engine/native/

WORKDIR /opt/tally
ENV PATH=/opt/venv/bin:$PATH \
    LANG=C.UTF-8 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    # `docker stop` then hands the run back to be scheduled again, within seconds. Without it the run dies after the grace period, silently.
    PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR=reschedule \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    DO_NOT_TRACK=1

RUN python -m compileall -q --invalidation-mode unchecked-hash flows tasks deployments

USER 10001:10001

# Every flow imports, as the user who will run it, and so does what Arrow keeps after the diet above. No flow at all is a fault as well.
RUN python -c "import importlib, pkgutil, flows; \
        import pyarrow.compute, pyarrow.csv, pyarrow.dataset, pyarrow.fs, pyarrow.parquet; \
        import polars, prefect_aws, prefect_docker, prefect_sqlalchemy, psycopg; \
        found = [importlib.import_module(m.name).__name__ for m in pkgutil.walk_packages(flows.__path__, 'flows.')]; \
        assert found, 'expected flow modules under flows/, found none'; \
        print('flows that import:', *found)"

CMD ["prefect", "version"]
