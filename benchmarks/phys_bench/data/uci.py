"""Eight tables of the UCI Machine Learning Repository (https://archive.ics.uci.edu), all licensed CC BY 4.0.

Each can be had from two places of the repository, as an archive per data set and as a single file.
"""

from __future__ import annotations

from phys_bench.data.files import PinnedFile

_ARCHIVES = "https://archive.ics.uci.edu/static/public"
_FILES = "https://archive.ics.uci.edu/ml/machine-learning-databases"

ABALONE = PinnedFile(
    original="abalone.data",
    original_sha256="de37cdcdcaaa50c309d514f248f7c2302a5f1f88c168905eba23fe2fbc78449f",
    plain="abalone.csv",
    plain_sha256="b36baf97dbcb1ae8d70ae95dd06794ce7878aef96cefc29cd0c8ca0fd9f8aee1",
    urls=(f"{_ARCHIVES}/1/abalone.zip", f"{_FILES}/abalone/abalone.data"),
    header=(
        "sex",
        "length",
        "diameter",
        "height",
        "whole_weight",
        "shucked_weight",
        "viscera_weight",
        "shell_weight",
        "rings",
    ),
)

TELEMONITORING = PinnedFile(
    original="parkinsons_updrs.data",
    original_sha256="f2c7d5025dec4e92e7feae367a5f7ccf58789a10ac6b54bdf15976c599f9dd39",
    plain="parkinsons_telemonitoring.csv",
    plain_sha256="cacdc7007846c68ca852cb3dbb43b1f68b7a9edefa2336f965f6610551cd30e6",
    urls=(
        f"{_ARCHIVES}/189/parkinsons+telemonitoring.zip",
        f"{_FILES}/parkinsons/telemonitoring/parkinsons_updrs.data",
    ),
)

PARKINSONS = PinnedFile(
    original="parkinsons.data",
    original_sha256="a36116c2deac07895b79ce97a2f99a1b3720ac4892995ff5c3b9ccb397ed2bc5",
    plain="parkinsons.csv",
    plain_sha256="455009076cd278efb0b2fb9307c0682834c477fa582ca6c10367128dd7a1c6db",
    urls=(f"{_ARCHIVES}/174/parkinsons.zip", f"{_FILES}/parkinsons/parkinsons.data"),
)

MUSHROOM = PinnedFile(
    original="agaricus-lepiota.data",
    original_sha256="e65d082030501a3ebcbcd7c9f7c71aa9d28fdfff463bf4cf4716a3fe13ac360e",
    plain="mushroom.csv",
    plain_sha256="7204d38399e2c7c84d85e7a2019081724bb943613e82be5d3523156cfbcf9f64",
    urls=(f"{_ARCHIVES}/73/mushroom.zip", f"{_FILES}/mushroom/agaricus-lepiota.data"),
    header=(
        "class",
        "cap-shape",
        "cap-surface",
        "cap-color",
        "bruises",
        "odor",
        "gill-attachment",
        "gill-spacing",
        "gill-size",
        "gill-color",
        "stalk-shape",
        "stalk-root",
        "stalk-surface-above-ring",
        "stalk-surface-below-ring",
        "stalk-color-above-ring",
        "stalk-color-below-ring",
        "veil-type",
        "veil-color",
        "ring-number",
        "ring-type",
        "spore-print-color",
        "population",
        "habitat",
    ),
)

RED_WINE = PinnedFile(
    original="winequality-red.csv",
    original_sha256="4a402cf041b025d4566d954c3b9ba8635a3a8a01e039005d97d6a710278cf05e",
    plain="winequality_red.csv",
    plain_sha256="d22f4f11db0456ff21745d2fa96d26fa348a8cdb889efda65bde802085be45fd",
    urls=(f"{_ARCHIVES}/186/wine+quality.zip", f"{_FILES}/wine-quality/winequality-red.csv"),
    delimiter=";",
)

IONOSPHERE = PinnedFile(
    original="ionosphere.data",
    original_sha256="46d52186b84e20be52918adb93e8fb9926b34795ff7504c24350ae0616a04bbd",
    plain="ionosphere.csv",
    plain_sha256="c3c36b692d178f83a1dc212112fa2c703a8b236a60b7146bf969e43b19efd3e1",
    urls=(f"{_ARCHIVES}/52/ionosphere.zip", f"{_FILES}/ionosphere/ionosphere.data"),
    header=(*(f"a{i:02d}" for i in range(1, 35)), "class"),
)

SONAR = PinnedFile(
    original="sonar.all-data",
    original_sha256="e90434cdbf00fcf93ffa911fe447ae25606979658e60f1d32e155c3b5240234d",
    plain="sonar.csv",
    plain_sha256="44708832eef6ecbbffb2f00c8a799fcc8e88d3a0bd49bda8542e11c3e6d2152e",
    urls=(
        f"{_ARCHIVES}/151/connectionist+bench+sonar+mines+vs+rocks.zip",
        f"{_FILES}/undocumented/connectionist-bench/sonar/sonar.all-data",
    ),
    header=(*(f"band{i:02d}" for i in range(1, 61)), "class"),
)

GERMAN_CREDIT = PinnedFile(
    original="german.data-numeric",
    original_sha256="2752b044394958ab6dd193a0b56ca0f0b3a2d8bc7cb8c008e35a5e84bbec02f8",
    plain="german_credit_numeric.csv",
    plain_sha256="00e6de496ccedd339ce9d11a980b818e5d8566eecc8d430dcf07c2b2be70cea7",
    urls=(f"{_ARCHIVES}/144/statlog+german+credit+data.zip", f"{_FILES}/statlog/german/german.data-numeric"),
    header=(*(f"a{i:02d}" for i in range(1, 25)), "class"),
    delimiter=" ",
)
