# One image for every process: `web`, `worker`, `beat`, `migrate` and `token` are arguments of its entry point.
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore PYTHONDONTWRITEBYTECODE=1
WORKDIR /srv/dashboard
RUN python -m venv --without-pip /opt/venv && python -m venv /opt/build
COPY deploy/image/*.lock deploy/image/
# Only packages that a lock file names, with hashes, are installed. Bytecode is not validated against file times, so that
# the same source gives the same files and the root may be read-only.
RUN pip --python /opt/venv/bin/python install --no-compile --only-binary :all: --require-hashes -r deploy/image/requirements.lock \
    && /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/venv/lib \
    && pip --python /opt/build/bin/python install --only-binary :all: --require-hashes -r deploy/image/build.lock
COPY app/dashboard/__init__.py app/dashboard/assets.py app/dashboard/package*.json app/dashboard/
COPY clients/js/src clients/js/src
RUN touch app/__init__.py && PATH="/opt/build/bin:$PATH" python -m app.dashboard.assets
COPY pyproject.toml README.md wsgi.py celery_worker.py ./
COPY app app
COPY docs/runbooks docs/runbooks
COPY tasks tasks
RUN PYTHONPATH="$(echo /opt/build/lib/python3*/site-packages)" pip --python /opt/venv/bin/python install \
        --no-compile --no-deps --no-build-isolation --editable . \
    && rm -rf build ./*.egg-info deploy clients \
    && /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /srv/dashboard

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="Dashboard Realtime"
ENV PATH="/opt/venv/bin:$PATH" \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DASHBOARD_HOME=/tmp/dashboard \
    DASHBOARD_LOG_FORMAT=json \
    PROMETHEUS_MULTIPROC_DIR=/tmp/metrics
RUN groupadd --gid 10001 dashboard && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin dashboard
COPY --from=build /opt/venv /opt/venv
COPY --from=build /srv/dashboard /srv/dashboard
WORKDIR /srv/dashboard
USER 10001:10001
EXPOSE 5000
# The health check of web; docker-compose.yml defines those of workers and beat.
HEALTHCHECK --interval=10s --timeout=10s --start-period=60s --retries=3 CMD ["python", "-IS", "app/observability/probe.py", "web"]
ENTRYPOINT ["dashboard"]
CMD ["web", "--host", "0.0.0.0", "--port", "5000"]
