// Package http is the backend for a service that takes jobs by HTTP and honours
// an idempotency key: POST with the job's JSON as body and
//
//	Idempotency-Key: JOB-ID
//	Content-Type: application/json
//	Fencepost-Token, Fencepost-Host, Fencepost-Spool
//
// What each answer means is configurable. As it comes: 200, 201 and 202 are
// accepted, with the service's id of the job in the field "id" of a JSON body;
// 400, 413, 415 and 422 are rejected; 408, 425, 429 and 503 are unavailable; 401,
// 403, 404, 405 and 407 are unfit; anything else, 409 (in progress) and other
// 5xx among it, is unknown: asked again with the same key.
//
// Guarantees: redirects are not followed. A connection that couldn't be made is
// unavailable, a certificate that isn't trusted is unfit; a request that may
// have been sent and has no clear answer is unknown. Answers are bounded.
//
// Assumes: the service remembers a key for longer than fencepost repeats it
// (key_window), and answers a repeated one with the same id. Go's client repeats
// a request by itself on a new connection if the old one broke before an answer:
// the key makes that harmless too.
//
// Does not: hold, list or cancel.
package http
