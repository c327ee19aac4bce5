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
    "import_image": MEMBER,
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
    "get_image_usage": READER,
    "cache_list": ADMIN,
    "cache_image": ADMIN,
    "cache_delete": ADMIN,
    "tasks_api_access": ADMIN,
    "add_metadef_namespace": ADMIN,
    "get_metadef_namespaces": READER,
    "get_metadef_namespace": READER,
    "modify_metadef_namespace": ADMIN,
    "delete_metadef_namespace": ADMIN,
    "list_metadef_resource_types": READER,
    "get_metadef_resource_type": READER,
    "add_metadef_resource_type_association": ADMIN,
    "remove_metadef_resource_type_association": ADMIN,
    "add_metadef_object": ADMIN,
    "get_metadef_objects": READER,
    "get_metadef_object": READER,
    "modify_metadef_object": ADMIN,
    "delete_metadef_object": ADMIN,
    "add_metadef_property": ADMIN,
    "get_metadef_properties": READER,
    "get_metadef_property": READER,
    "modify_metadef_property": ADMIN,
    "remove_metadef_property": ADMIN,
    "add_metadef_tags": ADMIN,
    "get_metadef_tags": READER,
    "delete_metadef_tags": ADMIN,
    "add_metadef_tag": ADMIN,
    "get_metadef_tag": READER,
    "modify_metadef_tag": ADMIN,
    "delete_metadef_tag": ADMIN,
}
