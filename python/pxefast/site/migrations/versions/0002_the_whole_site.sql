-- The tables of revision 0002, for SQLite and PostgreSQL.

CREATE TABLE audit (
    seq BIGINT NOT NULL,
    at FLOAT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    hash VARCHAR(64) NOT NULL,
    CONSTRAINT pk_audit PRIMARY KEY (seq)
);

CREATE INDEX ix_audit_at ON audit (at);

CREATE TABLE boundary_group (
    name VARCHAR(127) NOT NULL,
    key VARCHAR(127) NOT NULL,
    CONSTRAINT pk_boundary_group PRIMARY KEY (key)
);

CREATE TABLE distribution_point_group (
    name VARCHAR(127) NOT NULL,
    key VARCHAR(127) NOT NULL,
    CONSTRAINT pk_distribution_point_group PRIMARY KEY (key)
);

CREATE TABLE duplicate_identity (
    identity VARCHAR(41) NOT NULL,
    CONSTRAINT pk_duplicate_identity PRIMARY KEY (identity)
);

CREATE TABLE hardware (
    identity VARCHAR(41) NOT NULL,
    device_id INTEGER NOT NULL,
    CONSTRAINT pk_hardware PRIMARY KEY (identity)
);

CREATE TABLE hierarchy (
    id INTEGER NOT NULL CONSTRAINT ck_hierarchy_one_row CHECK (id = 1),
    revision BIGINT NOT NULL,
    next_device INTEGER NOT NULL,
    audit_seq BIGINT NOT NULL,
    audit_hash VARCHAR(64) NOT NULL,
    budget_from FLOAT NOT NULL,
    budget_tripped_at FLOAT,
    CONSTRAINT pk_hierarchy PRIMARY KEY (id)
);

CREATE TABLE ledger (
    device_id INTEGER NOT NULL,
    deployment_id VARCHAR(8) NOT NULL,
    generation INTEGER NOT NULL,
    state VARCHAR(8) NOT NULL CONSTRAINT ck_ledger_state CHECK (state IN ('ARMED', 'CLAIMED', 'LAUNCHED', 'STARTED', 'DONE', 'FAILED', 'HOLD', 'CLEARED')),
    armed_at FLOAT NOT NULL,
    returns INTEGER NOT NULL,
    session VARCHAR(32),
    token VARCHAR(32),
    owner VARCHAR(63),
    peer VARCHAR(15),
    step INTEGER,
    xid BIGINT,
    claimed_at FLOAT,
    stepped_at FLOAT,
    launch TEXT,
    transfer VARCHAR(63),
    launched_at FLOAT,
    reported_at FLOAT,
    why TEXT,
    CONSTRAINT pk_ledger PRIMARY KEY (device_id, deployment_id, generation),
    CONSTRAINT uq_ledger_session UNIQUE (session)
)
 /* without rowid */;

CREATE INDEX ix_ledger_claimed_at ON ledger (claimed_at);

CREATE UNIQUE INDEX ix_ledger_one_live ON ledger (device_id) WHERE state IN ('CLAIMED', 'LAUNCHED', 'STARTED');

CREATE INDEX ix_ledger_peer ON ledger (peer);

CREATE TABLE own_identity (
    identity VARCHAR(41) NOT NULL,
    distribution_point VARCHAR(63) NOT NULL,
    CONSTRAINT pk_own_identity PRIMARY KEY (identity, distribution_point)
);

CREATE TABLE setting (
    name VARCHAR(63) NOT NULL,
    value TEXT NOT NULL,
    CONSTRAINT pk_setting PRIMARY KEY (name)
);

CREATE TABLE site (
    code VARCHAR(3) NOT NULL,
    parent VARCHAR(3),
    next_object INTEGER NOT NULL,
    next_deployment INTEGER NOT NULL,
    CONSTRAINT pk_site PRIMARY KEY (code),
    CONSTRAINT fk_site_parent FOREIGN KEY(parent) REFERENCES site (code)
);

CREATE TABLE boot_image (
    id VARCHAR(8) NOT NULL,
    name VARCHAR(127) NOT NULL,
    key VARCHAR(127) NOT NULL,
    site VARCHAR(3) NOT NULL,
    architecture VARCHAR(5) NOT NULL CONSTRAINT ck_boot_image_architecture CHECK (architecture IN ('x86', 'x64', 'arm64')),
    source TEXT NOT NULL,
    pxe_enabled BOOLEAN NOT NULL,
    launch_file TEXT,
    CONSTRAINT pk_boot_image PRIMARY KEY (id),
    CONSTRAINT uq_boot_image_key UNIQUE (key),
    CONSTRAINT fk_boot_image_site FOREIGN KEY(site) REFERENCES site (code)
);

CREATE TABLE boundary (
    group_key VARCHAR(127) NOT NULL,
    subnet VARCHAR(18) NOT NULL,
    CONSTRAINT pk_boundary PRIMARY KEY (group_key, subnet),
    CONSTRAINT fk_boundary_group_key FOREIGN KEY(group_key) REFERENCES boundary_group (key) ON DELETE CASCADE
);

CREATE TABLE collection (
    id VARCHAR(8) NOT NULL,
    name VARCHAR(127) NOT NULL,
    key VARCHAR(127) NOT NULL,
    site VARCHAR(3) NOT NULL,
    CONSTRAINT pk_collection PRIMARY KEY (id),
    CONSTRAINT uq_collection_key UNIQUE (key),
    CONSTRAINT fk_collection_site FOREIGN KEY(site) REFERENCES site (code)
);

CREATE TABLE device (
    id INTEGER NOT NULL,
    name VARCHAR(63) NOT NULL,
    key VARCHAR(63) NOT NULL,
    guid VARCHAR(36),
    site VARCHAR(3) NOT NULL,
    protected BOOLEAN NOT NULL,
    unknown_architecture VARCHAR(5),
    CONSTRAINT pk_device PRIMARY KEY (id),
    CONSTRAINT uq_device_site_unknown_architecture UNIQUE (site, unknown_architecture),
    CONSTRAINT uq_device_key UNIQUE (key),
    CONSTRAINT uq_device_guid UNIQUE (guid),
    CONSTRAINT fk_device_site FOREIGN KEY(site) REFERENCES site (code)
);

CREATE TABLE distribution_point (
    name VARCHAR(63) NOT NULL,
    site VARCHAR(3) NOT NULL,
    enable_pxe BOOLEAN NOT NULL,
    allow_pxe_response BOOLEAN NOT NULL,
    interfaces TEXT,
    unknown_computers BOOLEAN NOT NULL,
    response_delay INTEGER NOT NULL,
    listen_on_dhcp_port BOOLEAN NOT NULL,
    mac_ignore_list_file TEXT,
    ramdisk_tftp_block_size INTEGER NOT NULL,
    ramdisk_tftp_window_size INTEGER NOT NULL,
    user_device_affinity INTEGER NOT NULL,
    CONSTRAINT pk_distribution_point PRIMARY KEY (name),
    CONSTRAINT fk_distribution_point_site FOREIGN KEY(site) REFERENCES site (code)
);

CREATE TABLE boot_program (
    boot_image_id VARCHAR(8) NOT NULL,
    firmware VARCHAR(4) NOT NULL CONSTRAINT ck_boot_program_firmware CHECK (firmware IN ('bios', 'uefi', 'ipxe')),
    file TEXT NOT NULL,
    CONSTRAINT pk_boot_program PRIMARY KEY (boot_image_id, firmware),
    CONSTRAINT fk_boot_program_boot_image_id FOREIGN KEY(boot_image_id) REFERENCES boot_image (id) ON DELETE CASCADE
);

CREATE TABLE boundary_group_distribution_point (
    group_key VARCHAR(127) NOT NULL,
    distribution_point VARCHAR(63) NOT NULL,
    CONSTRAINT pk_boundary_group_distribution_point PRIMARY KEY (group_key, distribution_point),
    CONSTRAINT fk_boundary_group_distribution_point_group_key FOREIGN KEY(group_key) REFERENCES boundary_group (key) ON DELETE CASCADE,
    CONSTRAINT fk_boundary_group_distribution_point_distribution_point FOREIGN KEY(distribution_point) REFERENCES distribution_point (name) ON DELETE CASCADE
);

CREATE TABLE collection_member (
    collection_id VARCHAR(8) NOT NULL,
    device_id INTEGER NOT NULL,
    CONSTRAINT pk_collection_member PRIMARY KEY (collection_id, device_id),
    CONSTRAINT fk_collection_member_collection_id FOREIGN KEY(collection_id) REFERENCES collection (id) ON DELETE CASCADE,
    CONSTRAINT fk_collection_member_device_id FOREIGN KEY(device_id) REFERENCES device (id) ON DELETE CASCADE
)
 /* without rowid */;

CREATE INDEX ix_collection_member_device_id ON collection_member (device_id);

CREATE TABLE collection_rule (
    id INTEGER NOT NULL /* serial */,
    collection_id VARCHAR(8) NOT NULL,
    kind VARCHAR(7) NOT NULL CONSTRAINT ck_collection_rule_kind CHECK (kind IN ('direct', 'include', 'exclude', 'query')),
    device_id INTEGER,
    other_id VARCHAR(8),
    attribute VARCHAR(136),
    value TEXT,
    CONSTRAINT pk_collection_rule PRIMARY KEY (id),
    CONSTRAINT fk_collection_rule_collection_id FOREIGN KEY(collection_id) REFERENCES collection (id) ON DELETE CASCADE,
    CONSTRAINT fk_collection_rule_device_id FOREIGN KEY(device_id) REFERENCES device (id) ON DELETE CASCADE,
    CONSTRAINT fk_collection_rule_other_id FOREIGN KEY(other_id) REFERENCES collection (id)
);

CREATE INDEX ix_collection_rule_collection_id ON collection_rule (collection_id);

CREATE INDEX ix_collection_rule_device_id ON collection_rule (device_id);

CREATE INDEX ix_collection_rule_other_id ON collection_rule (other_id);

CREATE TABLE collection_variable (
    collection_id VARCHAR(8) NOT NULL,
    key VARCHAR(127) NOT NULL,
    name VARCHAR(127) NOT NULL,
    value TEXT NOT NULL,
    secret BOOLEAN NOT NULL,
    CONSTRAINT pk_collection_variable PRIMARY KEY (collection_id, key),
    CONSTRAINT fk_collection_variable_collection_id FOREIGN KEY(collection_id) REFERENCES collection (id) ON DELETE CASCADE
);

CREATE TABLE device_mac (
    mac VARCHAR(17) NOT NULL,
    device_id INTEGER NOT NULL,
    position INTEGER NOT NULL,
    CONSTRAINT pk_device_mac PRIMARY KEY (mac),
    CONSTRAINT fk_device_mac_device_id FOREIGN KEY(device_id) REFERENCES device (id) ON DELETE CASCADE
);

CREATE INDEX ix_device_mac_device_id ON device_mac (device_id);

CREATE TABLE device_variable (
    device_id INTEGER NOT NULL,
    key VARCHAR(127) NOT NULL,
    name VARCHAR(127) NOT NULL,
    value TEXT NOT NULL,
    secret BOOLEAN NOT NULL,
    CONSTRAINT pk_device_variable PRIMARY KEY (device_id, key),
    CONSTRAINT fk_device_variable_device_id FOREIGN KEY(device_id) REFERENCES device (id) ON DELETE CASCADE
);

CREATE TABLE distribution_point_group_member (
    group_key VARCHAR(127) NOT NULL,
    distribution_point VARCHAR(63) NOT NULL,
    CONSTRAINT pk_distribution_point_group_member PRIMARY KEY (group_key, distribution_point),
    CONSTRAINT fk_distribution_point_group_member_group_key FOREIGN KEY(group_key) REFERENCES distribution_point_group (key) ON DELETE CASCADE,
    CONSTRAINT fk_distribution_point_group_member_distribution_point FOREIGN KEY(distribution_point) REFERENCES distribution_point (name) ON DELETE CASCADE
);

CREATE TABLE task_sequence (
    id VARCHAR(8) NOT NULL,
    name VARCHAR(127) NOT NULL,
    key VARCHAR(127) NOT NULL,
    site VARCHAR(3) NOT NULL,
    boot_image_id VARCHAR(8),
    CONSTRAINT pk_task_sequence PRIMARY KEY (id),
    CONSTRAINT uq_task_sequence_key UNIQUE (key),
    CONSTRAINT fk_task_sequence_site FOREIGN KEY(site) REFERENCES site (code),
    CONSTRAINT fk_task_sequence_boot_image_id FOREIGN KEY(boot_image_id) REFERENCES boot_image (id)
);

CREATE INDEX ix_task_sequence_boot_image_id ON task_sequence (boot_image_id);

CREATE TABLE deployment (
    id VARCHAR(8) NOT NULL,
    site VARCHAR(3) NOT NULL,
    task_sequence_id VARCHAR(8) NOT NULL,
    collection_id VARCHAR(8) NOT NULL,
    purpose VARCHAR(9) NOT NULL CONSTRAINT ck_deployment_purpose CHECK (purpose IN ('required', 'available')),
    audience VARCHAR(17) NOT NULL CONSTRAINT ck_deployment_audience CHECK (audience IN ('clients', 'clients-media-pxe', 'media-pxe', 'media-pxe-hidden')),
    enabled BOOLEAN NOT NULL,
    created_at FLOAT NOT NULL,
    available_at FLOAT,
    expires_at FLOAT,
    rerun VARCHAR(16) NOT NULL CONSTRAINT ck_deployment_rerun CHECK (rerun IN ('never', 'always', 'if-failed', 'if-succeeded')),
    CONSTRAINT pk_deployment PRIMARY KEY (id),
    CONSTRAINT fk_deployment_site FOREIGN KEY(site) REFERENCES site (code),
    CONSTRAINT fk_deployment_task_sequence_id FOREIGN KEY(task_sequence_id) REFERENCES task_sequence (id),
    CONSTRAINT fk_deployment_collection_id FOREIGN KEY(collection_id) REFERENCES collection (id)
);

CREATE INDEX ix_deployment_collection_id ON deployment (collection_id);

CREATE INDEX ix_deployment_task_sequence_id ON deployment (task_sequence_id);
