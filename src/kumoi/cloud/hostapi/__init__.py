"""The contract between control plane and host.

    GET  /host/v1/wanted?epoch=E&since=R&wait_s=W -> Wanted   long poll; at once when there is
                                                       more than at revision R of epoch E
    POST /host/v1/reports   Reports        -> 204      what is, after each change and every minute
    PUT  /host/v1/hello     HostHello      -> Hello    at start and as a sign of life every 10 s
    PUT  /host/v1/servers/{id}/console     -> 204      text: the last of what a server wrote to its
                                                       console, when it changed; 64 KiB at most
    GET  /host/v1/images/{id}              -> bytes    the image's file; X-Kumoi-Sha256 names its hash
    PUT  /host/v1/images/{id}              bytes -> 204  a wanted snapshot: a tarball of the disk
    DELETE /host/v1/images/{id}            -> 204      a wanted snapshot that cannot be made

hello.py says who a host is, things.py what is wanted and what is, whatever its kind, messages.py
what is particular to servers; client.py is the host's side of the calls. A field may be added with a
default; one is never removed or given another meaning within a protocol.
"""
