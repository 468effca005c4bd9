"""The model of S3 equals the model that botocore loads by itself."""

import gc
import sys

import pytest
from botocore.exceptions import UnknownServiceError
from botocore.loaders import create_loader

from tasks.engine.lake.s3_models import s3_models, without_collection

# botocore changes the paths in a model when a client sends its first request, so these tests load a model of their own.
load_models = s3_models.__wrapped__


@pytest.mark.parametrize("name", ["service-2", "endpoint-rule-set-1", "waiters-2", "paginators-1"])
def test_the_models_of_s3_equal_those_of_botocore(name: str) -> None:
    assert load_models().load_service_model("s3", name) == create_loader().load_service_model("s3", name)


@pytest.mark.parametrize("name", ["endpoints", "partitions", "sdk-default-configuration", "_retry"])
def test_the_data_of_botocore_are_equal(name: str) -> None:
    assert load_models().load_data(name) == create_loader().load_data(name)


@pytest.mark.parametrize("service", ["sts", "sso", "sso-oidc", "secretsmanager"])
def test_logins_find_the_models_of_their_services(service: str) -> None:
    assert load_models().load_service_model(service, "service-2") == create_loader().load_service_model(
        service, "service-2"
    )


def test_an_unknown_service_is_refused() -> None:
    with pytest.raises(UnknownServiceError):
        load_models().load_service_model("s4", "service-2")


def test_other_packages_can_import_the_adapter_of_pyopenssl() -> None:
    s3_models()
    assert sys.modules.get("urllib3.contrib.pyopenssl", sys) is not None


def test_the_collector_of_garbage_keeps_its_state() -> None:
    assert gc.isenabled()
    with without_collection():
        assert not gc.isenabled()
    assert gc.isenabled()
    gc.disable()
    try:
        with without_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
