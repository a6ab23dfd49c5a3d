# The project with everything it needs.
#   docker build -t phys-samplers .
#   docker run --rm -v "$PWD/runs:/runs" phys-samplers bench run quick --out /runs/quick
# On a GPU: a base with Python and CUDA's libraries, and PyTorch built for it.
#   docker build -t phys-samplers-gpu --build-arg BASE=pytorch/pytorch:2.7.1-cuda12.6-cudnn9-runtime --build-arg TORCH= .
#   docker run --rm --gpus all phys-samplers-gpu fit edm --task moons --device cuda -o /tmp/moons
ARG BASE=python:3.12-slim
FROM ${BASE}

# What is installed before the project: PyTorch without CUDA, unless the base brings its own (TORCH empty).
ARG TORCH="torch --index-url https://download.pytorch.org/whl/cpu"
ARG EXTRAS=data,rl
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 OMP_NUM_THREADS=1 MPLBACKEND=Agg

WORKDIR /opt/phys-samplers
RUN if [ -n "${TORCH}" ]; then pip install ${TORCH}; fi
COPY pyproject.toml README.md LICENSE CITATION.cff ./
COPY registry registry
COPY phys_samplers phys_samplers
COPY plugins plugins
COPY benchmarks benchmarks
RUN pip install ".[${EXTRAS}]" && phys-samplers list sampler > /dev/null

RUN useradd --create-home user 2>/dev/null || true
USER user
WORKDIR /home/user
ENTRYPOINT ["phys-samplers"]
CMD ["--help"]
