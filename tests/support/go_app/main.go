// An App Engine app in Go that uses channels, with nothing in it that knows of an emulator.
package main

import (
	"fmt"
	"net/http"

	"google.golang.org/appengine"
	"google.golang.org/appengine/channel"
)

func main() {
	http.HandleFunc("/create", func(w http.ResponseWriter, r *http.Request) {
		token, err := channel.Create(appengine.NewContext(r), r.FormValue("id"))
		report(w, token, err)
	})
	http.HandleFunc("/send", func(w http.ResponseWriter, r *http.Request) {
		report(w, "sent", channel.Send(appengine.NewContext(r), r.FormValue("id"), r.FormValue("message")))
	})
	http.HandleFunc("/send_json", func(w http.ResponseWriter, r *http.Request) {
		value := map[string]interface{}{"text": r.FormValue("message"), "number": 7}
		report(w, "sent", channel.SendJSON(appengine.NewContext(r), r.FormValue("id"), value))
	})
	http.HandleFunc("/_ah/channel/connected/", func(w http.ResponseWriter, r *http.Request) {
		channel.Send(appengine.NewContext(r), r.FormValue("from"), "welcome, "+r.FormValue("from"))
	})
	appengine.Main()
}

func report(w http.ResponseWriter, result string, err error) {
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprintf(w, "%T %v", err, err)
		return
	}
	fmt.Fprint(w, result)
}
