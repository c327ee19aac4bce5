"""Permissions of the image service, by Glance's names."""

from __future__ import annotations

from collections.abc import Mapping

from kumoi.policy.row import ADMIN, ANYBODY, MEMBER, READER, Row

IMAGE: Mapping[str, Row] = {
    "add_image": MEMBER,
    "add_image:over_limit": ADMIN,  # More images, and more bytes, than a project may have.
    "get_images": READER,
    "get_image": READER,
    "modify_image": MEMBER,
    "delete_image": MEMBER,
    "publicize_image": ADMIN,
    "upload_image": MEMBER,
    "download_image": READER,
    "download_image:deactivated": ADMIN,
    "deactivate": MEMBER,
    "reactivate": MEMBER,
    "add_member": MEMBER,
    "get_members": READER,
    "get_member": READER,
    "modify_member": MEMBER,  # Its own membership, as the project that was made a member.
    "delete_member": MEMBER,
    "get_image_schema": ANYBODY,
    "get_import_info": ANYBODY,
}
