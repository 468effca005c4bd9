# The image for the worker and for flow runs. The classic Docker builder can build it; BuildKit is not required.
#
#   docker build -t tally .                                               from the official Python image
#   docker build -t tally --build-arg BASE_IMAGE=tally-base:bookworm .    without an image registry, from the base image
#                                                                         that deployments/base_image.sh makes
#
# Any Debian-like base image works if it has Python 3.11 to 3.13, the venv module and ca-certificates. Python packages
# are in a virtual environment, because Debian's Python does not allow installations by pip.
#
# The file has one stage, because the classic builder leaves an untagged image behind for each further stage. Each RUN
# therefore removes its own build tools, so that no layer contains them.
ARG BASE_IMAGE=python:3.11-slim-bookworm
# prefect.yaml passes an empty argument if the variable is not set, hence the second default.
FROM ${BASE_IMAGE:-python:3.11-slim-bookworm}

# `make deploy` removes untagged images with this label: those that a newer build has replaced.
LABEL tally.image=true

# A numeric user id, so that Kubernetes can verify runAsNonRoot. The user can write to /home/tally and /tmp only.
RUN groupadd --gid 10001 tally && useradd --uid 10001 --gid tally --create-home --shell /usr/sbin/nologin tally

# pip and uv trust the certificates of the base image. Their own lists lack the certificate authority of a private network.
ARG PIP_CERT=/etc/ssl/certs/ca-certificates.crt
ARG SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
ARG PIP_DISABLE_PIP_VERSION_CHECK=1
ARG PIP_NO_CACHE_DIR=1
ARG PIP_NO_INPUT=1
ARG PIP_ROOT_USER_ACTION=ignore

# Dependencies: this layer is built again only if the lock changes.
COPY requirements.lock deployments/installer.lock /opt/tally/
# uv installs the packages with about a quarter of pip's CPU time. It runs in an environment of its own, so that
# /opt/venv contains no installer. The options accept only locked versions, verified by hash, and only wheels, so that no
# package runs a setup script. Flow runs do not need test suites, C headers, Cython sources, Prefect's web interface, or
# Arrow's Flight and S3 clients. The import test at the end of this file proves that the rest still works.
# The user of the image cannot write byte code, so the build compiles it once.
RUN python3 -m venv /opt/installer && python3 -m venv --without-pip /opt/venv \
    && /opt/installer/bin/pip install --require-hashes --only-binary :all: -r /opt/tally/installer.lock \
    && /opt/installer/bin/uv pip install --no-cache --python /opt/venv/bin/python \
        --require-hashes --only-binary :all: -r /opt/tally/requirements.lock \
    && /opt/installer/bin/uv pip check --python /opt/venv/bin/python \
    && rm -rf /opt/installer \
    && cd "$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" \
    && rm -rf pyarrow/include pyarrow/includes pyarrow/src pyarrow/tests \
        pyarrow/libarrow_flight.so* pyarrow/libarrow_python_flight.so* pyarrow/_flight.* pyarrow/flight.py \
        pyarrow/libarrow_s3.so* pyarrow/_s3fs.* \
        prefect/server/ui prefect/server/ui-v2 \
    && find pyarrow -name 'libarrow_python.so*' ! -name 'libarrow_python.so.[0-9]*[0-9]00' -delete \
    && find . -type d \( -name tests -o -name test \) -prune -exec rm -rf {} + \
    && find . -type f \( -name '*.a' -o -name '*.pyx' -o -name '*.pxd' -o -name '*.pxi' -o -name '*.pyi' \) -delete \
    && /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash . \
    && echo /opt/tally >tally.pth

# The native library of the engine: this layer is built again only if its C sources change. LDSHARED replaces the linker
# options of Debian's Python, which this compiler does not know. The library needs only libc: without -nostdlib, the
# compiler first makes a runtime of its own, which takes 20 s.
COPY deployments/compiler.lock deployments/build-requirements.lock deployments/installer.lock setup.py /opt/tally/
COPY tasks/engine/formats/native/*.c tasks/engine/formats/native/*.h tasks/engine/formats/native/sources.py /opt/tally/tasks/engine/formats/native/
RUN python3 -m venv /opt/installer \
    && /opt/installer/bin/pip install --require-hashes --only-binary :all: -r /opt/tally/installer.lock \
    && /opt/installer/bin/uv pip install --no-cache --python /opt/installer/bin/python \
        --require-hashes --only-binary :all: -r /opt/tally/compiler.lock -r /opt/tally/build-requirements.lock \
    && cd /opt/tally && export CC="/opt/installer/bin/python -m ziglang cc -mcpu=baseline" \
    && export LDSHARED="$CC -shared -nostdlib -lc" \
    && /opt/installer/bin/python setup.py build_ext --inplace --build-temp /tmp/build --build-lib /tmp/build \
    && rm -rf /opt/installer /root/.cache /tmp/build setup.py compiler.lock build-requirements.lock installer.lock

# The project: only what flow runs need. Registration, sample data and local services stay outside the image.
COPY sql /opt/tally/sql
COPY tasks /opt/tally/tasks
COPY flows /opt/tally/flows
# The doctor compares the deployments of the server with this file.
COPY prefect.yaml /opt/tally/

WORKDIR /opt/tally
# With `reschedule`, `docker stop` returns the run to the scheduler within seconds. Without it, the run ends after the
# grace period and nothing reports it.
ENV PATH=/opt/venv/bin:$PATH \
    LANG=C.UTF-8 \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR=reschedule \
    PREFECT_SERVER_ANALYTICS_ENABLED=false \
    DO_NOT_TRACK=1

RUN python -m compileall -q --invalidation-mode unchecked-hash flows tasks

USER 10001:10001

# As the user of the image, import every flow and every library that the build has reduced. Fail if there is no flow.
RUN python -c "import importlib, pkgutil, flows; \
        import pyarrow.compute, pyarrow.csv, pyarrow.dataset, pyarrow.fs, pyarrow.parquet; \
        import polars, prefect_aws, prefect_docker, prefect_sqlalchemy, psycopg; \
        found = [importlib.import_module(m.name).__name__ for m in pkgutil.walk_packages(flows.__path__, 'flows.')]; \
        assert found, 'expected flow modules under flows/, found none'; \
        print('imported flows:', *found)"

CMD ["prefect", "version"]
