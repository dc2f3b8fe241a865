package command

// ParseListing is the pure part of List.
var ParseListing = parseListing
