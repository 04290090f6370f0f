# What the compiled modules know of the records beyond records.py: that they are C structures, and of which fields.

cdef class Reason:
    cdef readonly object code, text, rule

cdef class Request:
    cdef readonly object mac, guid, architecture, pxe_client, ipxe, door, secs, xid, interface, giaddr, now, interface_mac

cdef class Deployment:
    cdef readonly object id, task_sequence_id, boot_image_id, collection_id, purpose, audience
    cdef readonly object enabled, available_at, expires_at, created_at

cdef class Device:
    cdef readonly object id, name, macs, guid, site, protected, deployments, preferred

cdef class BootImage:
    cdef readonly object id, name, architecture, programs, pxe_enabled, distributed, launch_file

cdef class DistributionPoint:
    cdef readonly object site, enable_pxe, allow_pxe_response, interfaces, unknown_computers, response_delay
    cdef readonly object listen_on_dhcp_port, mac_ignore_list_file
    cdef readonly object ramdisk_tftp_block_size, ramdisk_tftp_window_size, name, user_device_affinity

cdef class Policy:
    cdef readonly object identity_conflict, compatible_architectures, no_deployment_bios, no_deployment_uefi, schedules
    cdef readonly object hidden_deployments, boot_image_of, required_for_unknown, approve_new_members, armed_hours
    cdef readonly object max_returns

cdef class Mark:
    cdef readonly object deployment_id, generation, state, armed_at, claimed_at, step, xid, session, stepped_at
    cdef readonly object returnable, returns, launched_at, why

cdef class Exclusions:
    cdef readonly object macs, paused

cdef class Site:
    cdef readonly DistributionPoint dp
    cdef readonly Policy policy
    cdef readonly object devices_by_mac, devices_by_guid, unknown, boot_images, marks, live, hardware
    cdef readonly object session_seconds, duplicate_macs, duplicate_guids, own

cdef class Decision:
    cdef readonly object action, reasons, device, device_id, deployment, boot_image, boot_program, claim
    cdef readonly object architecture, firmware, launch_file, identities
