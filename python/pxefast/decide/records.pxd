# What the compiled modules know of the records beyond records.py: that they are C structures, and of which fields, in the
# order of records.py. A `str` or `tuple` here may also be None; a number that may be None is an object.

cdef class Reason:
    cdef readonly str code, text, rule

cdef class Request:
    cdef readonly str mac, guid
    cdef readonly object architecture, pxe_client, ipxe
    cdef readonly str door
    cdef readonly object secs, xid
    cdef readonly str interface, giaddr
    cdef readonly double now
    cdef readonly str interface_mac
    cdef readonly object wds, loader_architecture
    cdef readonly str peer

cdef class Deployment:
    cdef readonly str id, task_sequence_id, boot_image_id, collection_id, purpose, audience
    cdef readonly object enabled, available_at, expires_at
    cdef readonly double created_at

cdef class Device:
    cdef readonly object id
    cdef readonly str name
    cdef readonly tuple macs
    cdef readonly str guid, site
    cdef readonly object protected
    cdef readonly tuple deployments
    cdef readonly str preferred

cdef class BootImage:
    cdef readonly str id, name, architecture
    cdef readonly object programs, pxe_enabled, distributed
    cdef readonly str launch_file, kind

cdef class DistributionPoint:
    cdef readonly str site
    cdef readonly object enable_pxe, allow_pxe_response
    cdef readonly tuple interfaces
    cdef readonly object unknown_computers, response_delay, listen_on_dhcp_port
    cdef readonly str mac_ignore_list_file
    cdef readonly object ramdisk_tftp_block_size, ramdisk_tftp_window_size
    cdef readonly str name
    cdef readonly object user_device_affinity, ramdisk_tftp_variable_window

cdef class Policy:
    cdef readonly str identity_conflict, compatible_architectures, no_deployment_bios, no_deployment_uefi, schedules
    cdef readonly str hidden_deployments, boot_image_of
    cdef readonly object required_for_unknown, approve_new_members, armed_hours, max_returns, launch_settles_hours
    cdef readonly str windows_bios_chain, windows_uefi_chain, windows_uefi_prompt, pending_machines
    cdef readonly object pending_poll_seconds, pending_poll_count
    cdef readonly str option_250_architecture, option_250_in_final_ack
    cdef readonly object option_252_nul, option_243
    cdef readonly str windows_bcd_shape, guid_alone

cdef class Mark:
    cdef readonly str deployment_id
    cdef readonly object generation
    cdef readonly str state
    cdef readonly double armed_at, claimed_at
    cdef readonly object step, xid
    cdef readonly str session
    cdef readonly double stepped_at
    cdef readonly object returnable, returns
    cdef readonly double launched_at
    cdef readonly str why, mac, peer
    cdef readonly double unreported
    cdef readonly str history

cdef class Exclusions:
    cdef readonly object macs
    cdef readonly Reason paused

cdef class Site:
    cdef readonly DistributionPoint dp
    cdef readonly dict devices_by_mac, devices_by_guid, unknown, boot_images, marks, live, hardware
    cdef readonly double session_seconds
    cdef readonly object duplicate_macs, duplicate_guids, own
    cdef readonly Policy policy
    cdef readonly dict windows
    cdef readonly object placeholders
    cdef readonly dict seen, launches

cdef class Decision:
    cdef readonly str action
    cdef readonly tuple reasons
    cdef readonly str device
    cdef readonly object device_id
    cdef readonly str deployment, boot_image, boot_program
    cdef readonly object claim
    cdef readonly str architecture, firmware, launch_file
    cdef readonly tuple identities
    cdef readonly str kind
    cdef readonly Reason because
    cdef readonly str behind
