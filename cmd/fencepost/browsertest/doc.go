// Package browsertest drives a real browser for tests of pages.
//
// Guarantees: the browser is a process of the test's, headless, with a directory
// of its own, and gone when the test ends. What it complains of, such as what a
// page's policy blocked or an error of a script, fails the test.
//
// Assumes: a program chromium. Without one the test is skipped; with CI set it
// fails.
//
// Does not: wait for pages that load anything after they were complete; Until
// does.
package browsertest
