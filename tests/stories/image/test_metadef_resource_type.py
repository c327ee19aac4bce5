from __future__ import annotations

from openstack.connection import Connection

from kumoi.base.ids import new_hex_id


def test_a_namespace_is_for_types_of_resources(admin: Connection, demo: Connection) -> None:
    name, kind = f"OS::Story::{new_hex_id()[:8]}", f"OS::Story::{new_hex_id()[:8]}"
    admin.image.create_metadef_namespace(namespace=name, visibility="public")
    path = f"/metadefs/namespaces/{name}/resource_types"
    body = {"name": kind, "prefix": "hw_", "properties_target": "image"}
    made = admin.image.post(path, json=body)
    assert (made.status_code, made.json()["prefix"]) == (201, "hw_")
    assert admin.image.post(path, json=body).status_code == 409
    assert demo.image.get(path).json()["resource_type_associations"] == [made.json()]
    types = {
        one["name"] for one in demo.image.get("/metadefs/resource_types").json()["resource_types"]
    }
    assert {"OS::Glance::Image", "OS::Nova::Server", kind} <= types
    assert demo.image.delete(f"{path}/{kind}").status_code == 403
    namespace = {"namespace": name, "protected": True}
    admin.image.put(f"/metadefs/namespaces/{name}", json=namespace)
    assert admin.image.delete(f"{path}/{kind}").status_code == 403
    admin.image.put(f"/metadefs/namespaces/{name}", json={"namespace": name, "protected": False})
    assert admin.image.delete(f"{path}/{kind}").status_code == 204
    assert admin.image.delete(f"{path}/{kind}").status_code == 404
