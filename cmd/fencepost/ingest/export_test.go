package ingest

// Network is what counts as one address.
var Network = network
