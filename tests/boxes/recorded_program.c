/* Stands before a program NAME.exe, which is now NAME-recorded.exe: adds its own command line to C:\nbserver-test\NAME.lines,
   runs the program with the same streams, and ends with the same code. */
#include <stdio.h>
#include <string.h>
#include <windows.h>

int main(void)
{
    static char program[MAX_PATH + 20], record[MAX_PATH + 20];
    PROCESS_INFORMATION process;
    STARTUPINFOA startup = {sizeof startup};
    DWORD code = 1;
    char *name;
    FILE *file;

    GetModuleFileNameA(NULL, program, MAX_PATH);
    program[strlen(program) - strlen(".exe")] = 0;
    name = strrchr(program, '\\') + 1;
    snprintf(record, sizeof record, "C:\\nbserver-test\\%s.lines", name);
    strcat(program, "-recorded.exe");
    file = fopen(record, "a");
    if (!file || fprintf(file, "%s\n", GetCommandLineA()) < 0 || fclose(file))
        return 99;
    if (!CreateProcessA(program, GetCommandLineA(), NULL, NULL, TRUE, 0, NULL, NULL, &startup, &process))
        return 99;
    WaitForSingleObject(process.hProcess, INFINITE);
    GetExitCodeProcess(process.hProcess, &code);
    return (int)code;
}
