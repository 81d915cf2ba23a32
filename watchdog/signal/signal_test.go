package signal

import "testing"

func TestSignalIsReceivedOnceHoweverOftenItIsRaised(t *testing.T) {
	s := New()
	for range 3 {
		s.Raise() // it does not block
	}
	<-s
	select {
	case <-s:
		t.Error("it was received twice")
	default:
	}
	s.Raise()
	<-s
	Signal(nil).Raise()
}
