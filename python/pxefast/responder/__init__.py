"""The service: joins the native pump with the decision, the site database and the content library."""
