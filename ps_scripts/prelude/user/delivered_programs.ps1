# ---- prelude: delivered_programs -------------------------------------------------------------------
# Use program files that the workstation has sent: there are none in this scope.

function Get-DeliveredProgram { return }
