"""A folder by TFTP, without a site: `server` has the pump serve it, `folder` knows what is in it."""
