"""What is allowed at the host API. A host acts on its own things only: its handlers look at no
other's.
"""

from __future__ import annotations

from collections.abc import Mapping

from kumoi.policy.row import HOST_ITSELF, Row

HOST: Mapping[str, Row] = {
    "host:get_wanted": HOST_ITSELF,
    "host:get_image": HOST_ITSELF,
    "host:get_settings": HOST_ITSELF,
    "host:get_owners": HOST_ITSELF,
    "host:upload_image": HOST_ITSELF,
    "host:delete_image": HOST_ITSELF,
    "host:create_report": HOST_ITSELF,
    "host:renew_certificate": HOST_ITSELF,
    "host:renew_lease": HOST_ITSELF,
    "host:create_witness": HOST_ITSELF,
    "host:delete_host": HOST_ITSELF,
    "host:update_hello": HOST_ITSELF,
    "host:update_console": HOST_ITSELF,
}
