package bench

// PurposeOf is what an operation of a host is for.
var PurposeOf = purposeOf
