"""By the examples of AWS's own documentation of signatures."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from kumoi.base.errors import Unauthenticated
from kumoi.cloud.domain.identity import ec2_signature
from kumoi.cloud.domain.identity.ec2_signature import SignedRequest

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SECRET_2 = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
VERSION_2 = SignedRequest(
    verb="GET",
    host="elasticmapreduce.amazonaws.com",
    path="/",
    params={
        "AWSAccessKeyId": "AKIAIOSFODNN7EXAMPLE",
        "Action": "DescribeJobFlows",
        "SignatureMethod": "HmacSHA256",
        "SignatureVersion": "2",
        "Timestamp": "2011-10-03T15:19:30",
        "Version": "2009-03-31",
    },
    headers={},
    body_hash="",
)
VERSION_4 = SignedRequest(
    verb="GET",
    host="iam.amazonaws.com",
    path="/",
    params={"Action": "ListUsers", "Version": "2010-05-08"},
    headers={
        "Authorization": (
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
            "SignedHeaders=content-type;host;x-amz-date, Signature=abc"
        ),
        "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
        "X-Amz-Date": "20150830T123600Z",
    },
    body_hash=hashlib.sha256(b"").hexdigest(),
)


def test_version_2_is_as_documented() -> None:
    assert (
        ec2_signature.expected(SECRET_2, VERSION_2)
        == "i91nKc4PWAt0JJIdXwz9HxZCJDdiy6cf/Mj6vPxyYIs="
    )


def test_version_4_is_as_documented() -> None:
    wanted = "5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
    assert ec2_signature.expected(SECRET, VERSION_4) == wanted


def test_version_4_is_of_a_query_too_and_leaves_a_posted_form_to_its_hash() -> None:
    query = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
        "X-Amz-Credential": "AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request",
        "X-Amz-Date": "20150830T123600Z",
        "X-Amz-SignedHeaders": "host",
    }
    first = replace(VERSION_4, headers={}, params=query)
    signed = replace(first, params={**query, "X-Amz-Signature": "abc"})
    assert ec2_signature.expected(SECRET, first) == ec2_signature.expected(SECRET, signed)
    posted = replace(VERSION_4, verb="POST")
    other = replace(posted, params={"Action": "Other"})
    assert ec2_signature.expected(SECRET, posted) == ec2_signature.expected(SECRET, other)


@pytest.mark.parametrize(
    "wrong",
    [
        replace(VERSION_2, params={"SignatureVersion": "1"}),
        replace(VERSION_2, params={}),
        replace(VERSION_2, params={"SignatureVersion": "2", "SignatureMethod": "HmacMD5"}),
        replace(VERSION_4, headers={"Authorization": "AWS4-HMAC-SHA256 Credential=a/b"}),
    ],
)
def test_what_is_no_signature_of_these_versions_is_refused(wrong: SignedRequest) -> None:
    with pytest.raises(Unauthenticated):
        ec2_signature.expected(SECRET, wrong)


def test_the_time_is_where_the_version_has_it() -> None:
    assert ec2_signature.signed_at(VERSION_2) == datetime(2011, 10, 3, 15, 19, 30, tzinfo=UTC)
    assert ec2_signature.signed_at(VERSION_4) == datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
    assert ec2_signature.signed_at(replace(VERSION_2, params={})) is None
    with pytest.raises(Unauthenticated):
        ec2_signature.signed_at(replace(VERSION_2, params={"Timestamp": "now"}))
