# The platform as one image; docker-compose.yml runs each of its processes from it.
FROM python:3.12-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
WORKDIR /build
COPY requirements-tools.lock requirements-production.lock ./
RUN pip install --no-cache-dir --require-hashes --requirement requirements-tools.lock \
    && python -m venv --without-pip /opt/venv \
    && uv pip sync --no-cache --python /opt/venv/bin/python --require-hashes requirements-production.lock
COPY . /srv/platform
RUN find /srv/platform -name '*.po' \
        -exec sh -c '/opt/venv/bin/pybabel --quiet compile --input-file "$1" --output-file "${1%.po}.mo"' _ {} \;

FROM python:3.12-slim-bookworm
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DJANGO_SETTINGS_MODULE=aggregator.settings.production \
    PLATFORM_RUN_DIR=/srv/platform/run \
    OMP_NUM_THREADS=1 \
    OPENBLAS_NUM_THREADS=1
RUN groupadd --gid 10001 platform && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent platform \
    && install -d -o 10001 -g 10001 /srv/mqtt /srv/mosquitto
COPY --from=build /opt/venv /opt/venv
COPY --from=build /srv/platform /srv/platform
WORKDIR /srv/platform
# Static files need settings, and settings need values; these are thrown away with the build step.
RUN SECRET_KEY=unused DATABASE_URL=postgresql://unused/unused REDIS_URL=redis://unused MQTT_URL=mqtt://unused \
    ALLOWED_HOSTS=unused python manage.py collectstatic --no-input --verbosity 0
USER 10001:10001
CMD ["granian", "--interface", "wsgi", "--host", "0.0.0.0", "--port", "8000", "--no-ws", "aggregator.wsgi:application"]
